# Filters and flags of ps, conditions of wait, and the events of one container.
need busybox
try d rm -f w1 w2 w3 w4 w5
sleep 1.1  # the last events of an earlier play are not in the second that this one begins in
FROM=$(date +%s); export FROM
names() { d ps "$@" --filter label=parity --format '{{.Names}}'; }
told() { sleep 1.1; d events --since $FROM --until $(date +%s) --filter container=$1 --format '{{.Type}} {{.Action}} {{json .Actor.Attributes}}' | sed 's/"execDuration":"[0-9]*",//;s/"execID":"[0-9a-f]*"/"execID":"X"/'; }
export -f names told
try d create --name w1 --label parity --label n=1 busybox true
try d run --name w2 --label parity --label n=2 busybox false
try d run -d -i --name w3 --label parity --label n=3 --network none --tmpfs /t busybox cat
try d run -d -i --name w4 --label parity -v /tmp:/host:ro --expose 80 --expose 90/udp --health-cmd true --health-interval 200ms busybox cat
try d run -d -i --name w5 --label parity --network host busybox cat
try d pause w5
eventually bash -c 'd inspect w4 -f "{{.State.Health.Status}}" | grep -q ^healthy'
step "running" names
step "all" names -a
step "last two" names -n 2
step "last none" names -n 0
step "latest" names -l
step "quiet and latest" bash -c 'd ps -lq --filter label=parity | wc -l'
step "size" bash -c 'd ps -as --filter name=w1 --format "{{.Names}} {{.Size}}" | cut -d" " -f1'
step "table" bash -c 'd ps -a --filter label=parity --format "table {{.Names}}\t{{.Networks}}\t{{.Mounts}}\t{{.State}}"'
step "status created" names --filter status=created
step "status exited or paused" names --filter status=exited --filter status=paused
step "status dead" names -a --filter status=dead
step "status unknown" names --filter status=gone
step "exited 1" names -a --filter exited=1
step "exited does not say all" names --filter exited=1
step "exited 0" names -a --filter exited=0
step "exited x" names -a --filter exited=x
step "name" names -a --filter 'name=^/?w[12]$'
step "name of none" names -a --filter name=w9
step "id" bash -c 'names -a --filter id=$(d inspect w1 -f "{{.Id}}")'
step "short id" bash -c 'names -a --filter id=$(d inspect w1 -f "{{.Id}}" | cut -c1-12)'
step "label with value" names -a --filter label=n=2
step "two labels" names -a --filter label=n=2 --filter label=n=3
step "before" names -a --filter before=w3
step "before alone" names --filter before=w4
step "since" names -a --filter since=w3
step "since one that is none" names -a --filter since=w9
step "ancestor" names --filter ancestor=busybox
step "ancestor with a tag" names --filter ancestor=busybox:latest
step "ancestor that is none" names --filter ancestor=nothing
step "health" names --filter health=healthy
step "health none" names --filter health=none
step "health unknown" names --filter health=fine
step "network" names -a --filter network=host
step "network of none" names -a --filter network=nothing
step "volume by target" names -a --filter volume=/host
step "volume by source" names -a --filter volume=/tmp
step "expose" names -a --filter expose=80
step "expose a range" names -a --filter expose=70-95/udp
step "expose nonsense" names -a --filter expose=x
step "publish" names -a --filter publish=80
step "is-task" names --filter is-task=true
step "is-task nonsense" names --filter is-task=maybe
step "unknown filter" names --filter colour=red
step "bad filter" names --filter colour
step "stop" d stop -t 0 w3
step "wait for what has ended" d wait w2 w3
step "wait for what was never started" d wait w1
step "wait for none" d wait w9
step "wait condition removed" bash -c 'd run -d --name w6 busybox sleep 0.5 >/dev/null; (sleep 1; d rm w6 >/dev/null) & d wait w6; wait'
step "stop twice" d stop w3
step "kill with a bad signal" d kill -s NOPE w4
step "kill by number" bash -c 'd kill -s 9 w4 && d wait w4'
step "rm paused" d rm w5
step "rename to a bad name" d rename w1 'a b'
step "rename to itself" d rename w1 w1
step "top of what does not run" d top w1
step "update nothing" d update w1
step "unpause" d unpause w5
step "restart" d restart -t 0 w5
step "start several" d start w1 w9
step "rm several" d rm -f w1 w9 w2
step "events of a short life" told w2
step "events of a paused one" told w5
step "events until before since" d events --since 10 --until 1
try d rm -f w1 w2 w3 w4 w5
