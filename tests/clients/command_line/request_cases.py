"""Command lines for which docker and our own command have to ask the engine for the same."""

CREATED = """
busybox
busybox echo "two words"
-it busybox sh
-i busybox cat
-t busybox
--name n --hostname h --domainname d.example busybox
-u 1000:1000 -w /srv --entrypoint /bin/x busybox a b
--entrypoint "" busybox
-e A=1 -e B=two -e C= busybox
-e UNSET_NAME busybox
-e SET_NAME busybox
-l a=b -l c --label d= busybox
--label-file {files}/labels --env-file {files}/env -e A=9 busybox
-a stdout busybox
-a stdin -a stderr busybox
--attach stdin -i busybox
--group-add audio --group-add 1001 busybox
--init busybox
--init=false busybox
--rm busybox
--restart always busybox
--restart on-failure:3 busybox
--restart unless-stopped busybox
--restart no busybox
--stop-signal SIGINT --stop-timeout 3 busybox
--stop-timeout 0 busybox
--stop-timeout -1 busybox
--runtime runc --isolation default busybox
--gpus all busybox
--gpus "device=GPU-1,driver=nvidia" busybox
--annotation a=b --annotation c=d busybox
--platform linux/amd64 busybox
--cap-add NET_ADMIN --cap-add sys_time --cap-drop MKNOD --cap-drop chown busybox
--cap-add ALL --cap-drop NET_RAW busybox
--cap-drop ALL --cap-add cap_chown busybox
--privileged busybox
--privileged=false busybox
--read-only busybox
--security-opt no-new-privileges busybox
--security-opt no-new-privileges:true busybox
--security-opt no-new-privileges=false busybox
--security-opt seccomp=unconfined busybox
--security-opt seccomp={files}/seccomp.json busybox
--security-opt apparmor=unconfined --security-opt label=disable busybox
--security-opt label:type:svirt busybox
--security-opt systempaths=unconfined busybox
--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=65536 busybox
--pid host busybox
--pid container:other busybox
--ipc host busybox
--ipc container:other busybox
--ipc shareable busybox
--ipc private busybox
--uts host busybox
--userns host busybox
--cgroupns host busybox
--cgroupns private busybox
--cgroup-parent /x busybox
--device /dev/null busybox
--device /dev/null:/dev/n:r --device /dev/zero:rw busybox
--device-cgroup-rule "c 1:3 rwm" --device-cgroup-rule "b *:* r" busybox
--device-read-bps /dev/null:1mb --device-write-bps /dev/null:2m busybox
--device-read-iops /dev/null:100 --device-write-iops /dev/null:200 busybox
--blkio-weight 300 --blkio-weight-device /dev/null:200 busybox
--cpu-period 100000 --cpu-quota 50000 --cpu-shares 512 busybox
--cpu-rt-period 1000 --cpu-rt-runtime 500 busybox
-c 7 --cpus 1.5 --cpuset-cpus 0-1 --cpuset-mems 0 busybox
-m 64m --memory-reservation 32m --memory-swap 128m --memory-swappiness 10 busybox
-m 1g --memory-swap -1 busybox
--disable-content-trust busybox
--memory-swappiness 0 busybox
--oom-kill-disable -m 10m busybox
--oom-kill-disable=false busybox
--oom-score-adj 500 busybox
--oom-score-adj -500 busybox
--pids-limit 100 busybox
--pids-limit -1 busybox
--pids-limit 0 busybox
--shm-size 128m busybox
--ulimit nofile=100:200 --ulimit nproc=50 --ulimit core=-1 busybox
--log-driver json-file --log-opt max-size=10m --log-opt max-file=3 busybox
--log-driver local --log-opt compress=false busybox
--log-driver none busybox
--log-opt tag=x --log-opt labels=a,b --log-opt env=C busybox
--storage-opt size=10G busybox
--tmpfs /x --tmpfs /y:size=1m,mode=700 busybox
-v vol:/data -v /tmp:/host:ro -v /anonymous busybox
-v ./relative:/r busybox
-v vol:/d:z,nocopy busybox
--volume-driver local --volumes-from other --volumes-from more:ro busybox
--mount type=bind,src=/tmp,dst=/x,readonly busybox
--mount type=volume,src=v,dst=/x,volume-driver=local,volume-opt=a=b,volume-label=c=d busybox
--mount type=volume,dst=/x,volume-nocopy,volume-subpath=sub busybox
--mount type=tmpfs,dst=/x,tmpfs-size=10m,tmpfs-mode=1770 busybox
--mount type=bind,src=/tmp,dst=/x,bind-propagation=rslave,bind-recursive=disabled busybox
--mount dst=/x busybox
-p 80 -p 8080:80 -p 127.0.0.1:8081:81/udp busybox
-p 9000-9002:9000-9002 busybox
-p 10000-10010:80 busybox
-p [::1]:8080:80 busybox
-p 127.0.0.1::80 busybox
-P --expose 99 --expose 100-102/udp busybox
-P=false --expose 70/ --expose 80/tcp/udp busybox
-p :80 -p 0:81 -p 80-85 -p 8080:80/tcp/udp -p 8080:80/UDP -p 53:53/sctp -p 54:54/ busybox
-p ::1:8080:80 -p ::80 -p [::]:8081-8082:81-82/tcp busybox
-p 8080:80 -p 8080:80 -p 8081:80 busybox
-p target=80,published=8080,protocol=udp -p target=81 -p mode=ingress,target=82-83,published=82-83 busybox
--network host busybox
--network none busybox
--network container:other busybox
--network net busybox
--network net --network-alias a --network-alias b --ip 10.0.0.5 busybox
--network net --ip6 fd00::5 --link-local-ip 169.254.1.1 --mac-address 92:d0:c6:0a:29:33 busybox
--network name=net,alias=x,ip=10.0.0.6,driver-opt=a=b,gw-priority=10 busybox
--network name=net,alias=x,alias=y,ip6=fd00::6,mac-address=92:d0:c6:0a:29:33,link-local-ip=169.254.1.1 busybox
--network name=net,gw-priority=-10 --network "name=other, Alias=x" busybox
--network name=net,name=other --link a --link b:c busybox
--network =x busybox
--network "name= net" busybox
--network bridge --link a:b --ip 10.0.0.1 busybox
--network container:x -p 80:80 --dns 1.1.1.1 --add-host a:1.2.3.4 --expose 80 busybox
--network net --network other --network-alias x,y busybox
--mac-address 92d0.c60a.2933 busybox
--mac-address 02-00-5e-10-00-00-00-01 busybox
--ip fd00::5 --ip6 10.0.0.5 --network net busybox
--dns 8.8.8.8 --dns 127.1.2.3 --dns ::1 busybox
--dns ::ffff:8.8.8.8 busybox
--dns-search . busybox
--dns-search " A.Example. " --dns-search b busybox
--add-host a:host-gateway --add-host b=host-gateway --add-host c:[1.2.3.4] --add-host "d e:1.2.3.4" busybox
--network net --network other busybox
--net net --net-alias a busybox
--link other:alias busybox
--network net --link other:alias busybox
--mac-address 92:d0:c6:0a:29:33 busybox
--add-host a:1.2.3.4 --add-host b=::1 --add-host c:host-gateway --add-host d=[::1] busybox
--dns 1.1.1.1 --dns 2001:4860::8888 --dns-option ndots:1 --dns-search example.com busybox
--dns-opt rotate busybox
--health-cmd "test -f /ok" --health-interval 5s --health-timeout 1m30s --health-retries 3 busybox
--health-start-period 10s --health-start-interval 500ms busybox
--no-healthcheck busybox
""".strip().splitlines()

REFUSED = """
--restart always --rm busybox
--restart on-failure:x busybox
--restart :1 busybox
--memory x busybox
-m 1.5.5m busybox
--cpus x busybox
--cpus 0.0000000001 busybox
--memory-swappiness 101 busybox
--pid container: busybox
--pid foo busybox
--uts foo busybox
--userns foo busybox
--cgroupns foo busybox
--security-opt foo busybox
--security-opt seccomp=/nonexistent busybox
--sysctl foo.bar=1 busybox
--ulimit foo=1 busybox
--ulimit nofile=2:1 busybox
--ulimit nofile busybox
--ulimit nofile=a busybox
--device-cgroup-rule foo busybox
--device relative busybox
--device /dev/null:/dev/x:q busybox
--device /a:/b:/c:/d busybox
--device-read-bps foo busybox
--device-read-bps /dev/null:x busybox
--device-read-iops /dev/null:1m busybox
--blkio-weight-device /dev/null:5 busybox
--blkio-weight 70000 busybox
--log-driver none --log-opt a=b busybox
--log-opt a busybox
--storage-opt a busybox
--no-healthcheck --health-cmd x busybox
--health-interval -1s busybox
--health-retries -1 busybox
--health-timeout x busybox
--health-timeout 1 busybox
-v vol:/b:ro:d busybox
-v :/x busybox
--mount type=foo,dst=/x busybox
--mount type=bind busybox
--mount foo busybox
--mount type=tmpfs,src=x,dst=/y,foo=1 busybox
--mount type=volume,dst=/x,tmpfs-size=1 busybox
-p 99999:80 busybox
-p 80:99999 busybox
-p a:b:c:d busybox
-p 80/foo busybox
-p 1-3:1-2 busybox
-p x.y:80:80 busybox
--expose a busybox
--expose 1:2 busybox
--network net,foo=1 busybox
--network name=net,foo=1 busybox
--network-alias a busybox
--network net --network net busybox
--network net --network host busybox
--network a,b=c busybox
--network "name=net,foo=\\"" busybox
--network "\\"name=net\\",alias=\\"a,b\\"" busybox
--network name=net,gw-priority=x busybox
--network name=net,gw-priority=99999999999999999999 busybox
--network name=net,mac-address=foo busybox
--network name=net,driver-opt=foo busybox
--network name=net,alias busybox
--network name=,alias=x busybox
--network "" busybox
--network name=host,alias=x busybox
--network name=net,alias=a --network-alias x busybox
--network name=net,ip=10.0.0.1 --ip 10.0.0.2 busybox
--network name=net,ip6=fd00::1 --ip6 fd00::2 busybox
--network name=net,link-local-ip=169.254.1.2 --link-local-ip 169.254.1.1 busybox
--network name=net,mac-address=92:d0:c6:0a:29:34 --mac-address 92:d0:c6:0a:29:33 busybox
--network container:x --network net busybox
--mac-address 02:00:5e-10:00:01 busybox
--link a:b:c busybox
--link "" busybox
--dns-search "" busybox
--dns-search a..b busybox
--dns-search 1.2 busybox
--dns-search a_b busybox
--dns-search -x busybox
--add-host a: busybox
--add-host :1.2.3.4 busybox
--add-host a:[fe80::1 busybox
--add-host a:1.2.3.4:5 busybox
-p foo:80:80 busybox
-p 300.0.0.1:80:80 busybox
-p [fe80::1%eth0]:80:80 busybox
-p 85-80:80-85 busybox
-p 8080: busybox
-p : busybox
-p "" busybox
-p target=80,foo=1 busybox
-p published=8080 busybox
-p target=80,published busybox
--expose 92-90 busybox
--expose "" busybox
--mac-address foo busybox
--ip foo --network net busybox
--add-host foo busybox
--add-host a:b busybox
--dns foo busybox
--env-file /nonexistent busybox
--label-file /nonexistent busybox
--env = busybox
--label = busybox
--attach foo busybox
--pull foo busybox
--annotation x busybox
--stop-timeout x busybox
--pids-limit x busybox
--cpu-shares 1.5 busybox
--init=foo busybox
--cidfile {files}/env busybox
BUSYBOX
busybox:
""".strip().splitlines()

OTHERS = """
restart a
restart -t 3 -s KILL a b
stop a
stop -t 0 -s INT a
kill a
kill -s HUP a
pause a b
unpause a
rename a b
wait a
rm a
rm -f -v a
rm -l a/b
diff a
export a
port a
top a
top a -o pid,comm
logs a
logs --details -t -n 5 --since 1 --until 2.5 a
stats --no-stream a
ps
ps -a -n 3 -s --filter name=x --filter name=y --filter status=exited
ps -l --no-trunc
ps --format "{{{{.Size}}}}"
images -a --filter dangling=true x:1
inspect -s a
inspect --type image a
image inspect a
container inspect -s a
container prune -f
container prune -f --filter label=a --filter until=1h
events --until 1 --since 0.5 --filter type=container --filter event=die
system df
version
info
exec -d a true
exec -d -e A=1 -e SET_NAME --env-file {files}/env -u 7:8 -w /srv --privileged -t a sh -c "x y"
exec -d --detach-keys ctrl-x a true
update --blkio-weight 300 --cpu-period 1000 --cpu-quota 2000 --cpu-rt-period 3 --cpu-rt-runtime 4 a
update -c 5 --cpuset-cpus 0-1 --cpuset-mems 0 -m 64m --memory-reservation 10m --memory-swap -1 a b
update --cpus 0.5 --pids-limit -1 --restart on-failure:3 a
update --restart no a
update --pids-limit 0 a
update --restart on-failure:x a
rmi -f --no-prune a
rmi --platform linux/amd64,linux/arm64/v8 --platform armel a
pull x
pull -a h:1/x
pull -q --platform linux/arm64 x:1
pull x@sha256:0000000000000000000000000000000000000000000000000000000000000000
push x
push -a h:1/x
push -q --platform linux/amd64 h:1/x:2
search x
search --limit 3 --no-trunc -f stars=3 -f is-official=true h:1/x
login -u a -p b h:2
history a
history --platform linux/amd64 a
image inspect --platform linux/s390x a
images --tree b
images --digests -f reference=x -f label=a=b
save a b:1
save --platform x86_64 a
load -q -i {files}/empty.tar
load --platform linux/arm64 -i {files}/empty.tar
import -c "CMD a" -c "ENV b=c" -m why --platform linux/arm64 {files}/empty.tar r:t
import http://h/x.tar h:1/r
commit a
commit -a me -m why -c "CMD a" -c "ENV b=c" -p=false a h:1/r
tag a h:1/b
tag a b:1
image prune -f
image prune -af --filter label=a --filter until=1h
create --pull always h:1/x
""".strip().splitlines()

NETWORKS = """
create n
create
create a b
create -d macvlan -o parent=eth0 -o x n
create --internal --attachable --ipv6 --label a=b --label c n
create --ipv4=false n
create --ipv6=false n
create --scope swarm --ingress --config-only n
create --config-from base n
create --ipam-driver x --ipam-opt a=b n
create --subnet 10.1.0.0/16 n
create --subnet 10.1.0.0/16 --gateway 10.1.0.1 --ip-range 10.1.5.0/24 n
create --subnet 10.1.0.0/16 --aux-address a=10.1.0.5 --aux-address b=10.1.0.6 n
create --subnet x n
create --subnet x --subnet y n
create --subnet 10.1.0.0 n
create --subnet 10.1.0.0/33 n
create --subnet 10.1.0.0/16 --subnet 10.1.5.0/24 n
create --subnet 10.1.5.0/24 --subnet 10.1.0.0/16 n
create --gateway 10.1.0.1 n
create --ip-range 10.1.0.0/24 n
create --subnet 10.1.0.0/16 --gateway 10.2.0.1 n
create --subnet 10.1.0.0/16 --gateway foo n
create --subnet x --gateway 10.2.0.1 n
create --subnet 10.1.0.0/16 --ip-range 10.2.0.0/24 n
create --subnet 10.1.0.0/16 --ip-range foo n
create --subnet 10.1.0.0/16 --ip-range foo/8 n
create --subnet 10.1.0.0/16 --ip-range 10.1.0.5 n
create --subnet 10.1.0.0/16 --subnet 10.2.0.0/16 --ip-range 10.1.0.0/24 --ip-range 10.1.1.0/24 n
create --subnet 10.1.0.0/16 --subnet 10.2.0.0/16 --gateway 10.1.0.1 --gateway 10.1.0.2 n
create --subnet 10.1.0.0/16 --aux-address a=10.2.0.1 n
create --subnet 10.1.0.0/16 --aux-address a=foo n
create --subnet 10.1.0.0/16 --aux-address foo n
create --aux-address a=10.1.0.1 n
create --label "a b=c" n
create --label =c n
create --opt =c n
create --opt c n
create --subnet "" n
create --subnet "10.1.0.0/16," n
create --subnet "a\\"b" n
create --subnet 10.1.2.3/16 n
create --driver= n
create --ipv4=x n
create ""
ls
list
ls -q
ls --no-trunc
ls --no-trunc -q
ls --format json
ls --format "{{{{.ID}}}} {{{{.Name}}}} {{{{.Driver}}}} {{{{.Scope}}}}"
ls --format "{{{{.IPv4}}}} {{{{.IPv6}}}} {{{{.Internal}}}} {{{{.Labels}}}} {{{{.CreatedAt}}}}"
ls --format "table {{{{.Name}}}}\\t{{{{.IPv6}}}}\\t{{{{.Label \\"a\\"}}}}\\t{{{{.CreatedAt}}}}"
ls --format raw
ls --format raw -q
ls --format "{{{{.Nope}}}}"
ls --format "{{{{.Nope"
ls -q --format "{{{{.Name}}}}"
ls -q --format table
ls -q --format json
ls -f driver=bridge -f name=x --filter label=a=b
ls -f driver
ls x
inspect a
inspect a missing
inspect missing
inspect -f json a
inspect -f "{{{{json .IPAM}}}}" a
inspect -f "{{{{.Nope}}}}" a
inspect -f "{{{{.Nope" a
inspect -v a
inspect
remove a
rm missing a
rm -f missing a
rm
prune
prune -f
prune -f --filter label=x --filter until=24h
prune x
prune --filter foo
connect n c
connect n
connect --ip 10.0.0.1 --ip6 fd00::1 --alias a --alias b,c --link-local-ip 169.254.1.1 n c
connect --link other:x --driver-opt a=b --gw-priority 5 n c
connect --ip foo n c
connect --link a:b:c n c
connect --link : n c
connect --link a: n c
connect --link "" n c
connect --driver-opt foo n c
connect --driver-opt =x n c
connect --driver-opt " a = b " n c
connect --gw-priority x n c
connect --gw-priority -5 n c
connect --link-local-ip foo n c
connect --alias "" n c
connect missing c
connect n ""
connect "" c
disconnect n c
disconnect -f n c
disconnect missing c
disconnect n
disconnect "" c
disconnect n ""
inspect ""
rm ""
create --nope n
inspect -f "{{{{.Name}}}}" a a
rm a a
""".strip().splitlines()
