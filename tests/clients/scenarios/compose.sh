# Four projects, from their files to their end: the client is Docker Compose, or a program with its commands.
c() { d --progress quiet "$@"; }
told() { c "$@" 2>&1 | sort; }
shown() { d -p $1 ps -a --format 'table {{.Name}}\t{{.Service}}\t{{.State}}\t{{.ExitCode}}\t{{.Health}}'; }
export -f c told shown
for p in one two three four; do try d -p parity-$p down -v -t 0 --remove-orphans; done

mkdir one two three four
cat > one/compose.yaml <<'END'
name: parity-one
services:
  web:
    image: busybox
    command: sh -c 'mkdir /w; echo served > /w/index.html; exec httpd -f -h /w'
    stop_grace_period: 0s
    depends_on: {db: {condition: service_healthy}}
    volumes: [data:/data]
    networks: {front: {aliases: [site]}, default: {}}
  db:
    image: busybox
    command: sh -c 'sleep 1; touch /ready; exec sleep 1000'
    stop_grace_period: 0s
    environment: {COLOUR: "${COLOUR:-red}", QUOTED: 'a "b"'}
    healthcheck: {test: test -e /ready, interval: 200ms, retries: 50}
    networks: [default]
volumes: {data: {labels: {kind: test}}}
networks: {front: {internal: true}}
END
cd one
step "one: the services" told config --services
step "one: the model" d config
step "one: the hashes" told config --hash '*'
step "one: up" c up -d
step "one: what runs" shown parity-one
step "one: names" bash -c 'for i in $(seq 50); do d exec -T db wget -qO- http://web/ 2>/dev/null && break; sleep 0.1; done'
step "one: an alias" bash -c 'd exec -T web wget -qO- http://site/'
step "one: not in that network" bash -c 'd exec -T db wget -qO- http://site/ 2>/dev/null || echo unreached'
step "one: variables" d exec -T db sh -c 'echo $COLOUR "$QUOTED"'
step "one: data" d exec -T web sh -c 'echo kept > /data/file'
step "one: a change" bash -c 'COLOUR=blue c up -d && COLOUR=blue d exec -T db sh -c "echo \$COLOUR"'
step "one: down" c down
step "one: nothing is left" shown parity-one
step "one: the volume is" told volumes -q
step "one: up again" c up -d
step "one: the data are" d exec -T web cat /data/file
step "one: down with the volume" c down -v
step "one: no volume" told volumes -q
cd ../two
cat > compose.yaml <<'END'
name: parity-two
services:
  job: {image: busybox, command: sh -c 'echo out; exit 3'}
  after: {image: busybox, command: echo after, depends_on: {first: {condition: service_completed_successfully}}}
  first: {image: busybox, command: echo first}
  never: {image: busybox, command: echo never, profiles: [extra]}
END
step "two: without profiles" told config --services
step "two: with a profile" told --profile extra config --services
step "two: the job fails up" bash -c 'c up --no-log-prefix --exit-code-from job job 2>&1 | sed -e "s/\x1b\[K//" -e /Attaching/d -e /Aborting/d; echo ${PIPESTATUS[0]}'
step "two: one behind the other" bash -c 'c up -d first after; sleep 2; d logs --no-log-prefix after first | sort'
step "two: what there is" shown parity-two
step "two: run" d run --rm -T never echo ran
step "two: run fails" bash -c 'd run --rm -T --no-deps job sh -c "exit 9"; echo $?'
step "two: rm" bash -c 'c rm -f >/dev/null 2>&1; shown parity-two'
step "two: an unknown service" d up -d nope
cd ../three
cat > compose.yaml <<'END'
name: parity-three
x-common: &common {image: busybox, stop_grace_period: 0s, command: sleep 1000}
services:
  web: {<<: *common, deploy: {replicas: 2}}
  other: {<<: *common, network_mode: "service:web", depends_on: [web]}
END
cat > compose.override.yaml <<'END'
services:
  web: {environment: {FROM: override}, deploy: {replicas: 3}}
END
step "three: up" c up -d
step "three: what runs" shown parity-three
step "three: the override" d exec -T --index 2 web sh -c 'echo $FROM'
step "three: less" bash -c 'c up -d --scale web=1; shown parity-three'
step "three: more" bash -c 'c scale web=2; shown parity-three'
step "three: pause" bash -c 'c pause web; shown parity-three; c unpause web'
step "three: kill" bash -c 'c kill -s KILL other; sleep 0.5; shown parity-three'
step "three: start" bash -c 'c start; shown parity-three'
step "three: stop" bash -c 'c stop -t 0; shown parity-three'
step "three: down" bash -c 'c down; shown parity-three'
cd ../four
echo 'VALUE=from a file' > .env; echo secret > secret.txt
cat > compose.yaml <<'END'
name: parity-four
services:
  a:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [token]
    configs: [{source: settings, target: /etc/settings}]
    tmpfs: /scratch
    read_only: true
    user: "1000:1000"
    working_dir: /tmp
    cap_drop: [ALL]
    labels: {kind: test}
    init: true
    post_start: [{command: [sh, -c, "echo hooked > /scratch/hook"]}]
secrets: {token: {file: ./secret.txt}}
configs: {settings: {file: ./.env}}
END
step "four: the model as JSON" bash -c 'd config --format json | sed "s#$PWD#DIR#"; echo'
step "four: up and wait" c up -d --wait
step "four: the secret" d exec -T a cat /run/secrets/token
step "four: the config" d exec -T a cat /etc/settings
step "four: the hook" d exec -T a cat /scratch/hook
step "four: user and folder" d exec -T a sh -c 'id -u; pwd; touch /x'
step "four: projects" bash -c 'd ls -q --filter name=parity-four'
step "four: down" c down
