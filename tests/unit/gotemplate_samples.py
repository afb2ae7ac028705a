"""Answers of an engine, to which the tests apply templates."""

from typing import Any

CONTAINER: dict[str, Any] = {
    "Id": "c0ffee",
    "Created": "2024-05-06T07:08:09.123456789Z",
    "Path": "/bin/sh",
    "Args": ["-c", "sleep 9"],
    "State": {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "Pid": 1234,
        "ExitCode": 0,
        "StartedAt": "2024-05-06T07:08:10Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {
            "Status": "healthy",
            "FailingStreak": 0,
            "Log": [
                {
                    "Start": "2024-05-06T07:08:09.120Z",
                    "End": "2024-05-06T07:08:10+02:00",
                    "ExitCode": 0,
                    "Output": "<ok> & well",
                }
            ],
        },
    },
    "Image": "sha256:abc",
    "Name": "/web",
    "RestartCount": 2,
    "Node": None,  # neither this nor the next is in the type: templates with them see the plain JSON
    "Extra": {"ratio": 1.5, "list": [1, "x", None, True], "empty": {}},
    "HostConfig": {
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "NetworkMode": "bridge",
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "ConsoleSize": [24, 80],
        "CapAdd": ["NET_ADMIN", "SYS_TIME"],
        "Memory": 67108864,
        "NanoCpus": 500000000,
        "BlkioWeight": 300,
        "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 5}],
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1024}],
        "PidsLimit": 100,
        "OomKillDisable": None,
        "Ulimits": [{"Name": "nofile", "Hard": 2048, "Soft": 1024}],
        "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 100, "Mode": 511}}],
        "Init": True,
    },
    "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/u", "MergedDir": "/m"}},
    "Mounts": [
        {"Type": "bind", "Source": "/s", "Destination": "/d", "Mode": "ro", "RW": False, "Propagation": "rprivate"}
    ],
    "Config": {
        "Hostname": "h",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=1", "B=two"],
        "Cmd": ["sh", "-c"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 90000000000, "Timeout": 1500000},
        "Image": "busybox",
        "Labels": {"b": "2", "a": "1", "com.example.team": "core"},
        "StopTimeout": 10,
    },
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "192.0.2.1", "HostPort": "8080"}], "81/udp": None},
        "IPAddress": "172.17.0.2",
        "Networks": {"bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16, "Aliases": ["web"]}},
    },
}

IMAGE: dict[str, Any] = {
    "Id": "sha256:7d2b",
    "RepoTags": ["busybox:latest", "bb:1"],
    "RepoDigests": [],
    "Created": "2024-05-06T07:08:09Z",
    "Config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"a": "1"}},
    "Architecture": "amd64",
    "Os": "linux",
    "Size": 1984305,
    "GraphDriver": {"Name": "overlay2", "Data": {"MergedDir": "/m"}},
    "RootFS": {"Type": "layers", "Layers": ["sha256:l1", "sha256:l2"]},
    "Metadata": {"LastTagTime": "2024-05-06T07:08:09.500Z"},
}

NETWORK: dict[str, Any] = {
    "Name": "net",
    "Id": "n1",
    "Created": "2024-05-06T09:08:09.5+02:00",
    "Scope": "local",
    "Driver": "bridge",
    "EnableIPv4": True,
    "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]},
    "Containers": {"c1": {"Name": "web", "IPv4Address": "172.17.0.2/16"}},
    "Options": {"com.docker.network.bridge.name": "br0"},
    "Labels": {},
}

VOLUME: dict[str, Any] = {
    "Name": "vol",
    "Driver": "local",
    "Mountpoint": "/m",
    "Labels": None,
    "Options": {},
    "Scope": "local",
    "Status": {"files": 3, "ratio": 1.5, "huge": 123456789.0},
    "CreatedAt": "2024-05-06T07:08:09Z",
    "UsageData": {"RefCount": 1, "Size": 1024},
}

VERSION: dict[str, Any] = {
    "Client": {"Version": "1.0", "ApiVersion": "1.51", "Os": "linux", "Arch": "amd64", "Context": "default"},
    "Server": {
        "Platform": {"Name": "Engine"},
        "Components": [{"Name": "Engine", "Version": "1.0", "Details": {"GitCommit": "abc"}}],
        "Version": "1.0",
        "ApiVersion": "1.51",
        "MinAPIVersion": "1.24",
        "Os": "linux",
        "Arch": "amd64",
        "Experimental": False,
    },
}

INFO: dict[str, Any] = {
    "ID": "id",
    "Containers": 3,
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"], ["Using metacopy", "false"]],
    "Plugins": {"Volume": ["local"], "Network": ["bridge", "host"], "Log": ["json-file"]},
    "CgroupVersion": "2",
    "NCPU": 2,
    "MemTotal": 8000000000,
    "RegistryConfig": {
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}},
        "Mirrors": [],
    },
    "HttpProxy": "",
    "Name": "host",
    "Labels": [],
    "Runtimes": {"runc": {"path": "runc"}},
    "Swarm": {"LocalNodeState": "inactive"},
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "ServerVersion": "1.0",
    "ClientInfo": {"Debug": False, "Version": "1.0", "Context": "default", "Plugins": [], "Warnings": None},
}

EVENT: dict[str, Any] = {
    "status": "create",
    "id": "c0ffee",
    "from": "busybox",
    "Type": "container",
    "Action": "create",
    "Actor": {"ID": "c0ffee", "Attributes": {"name": "web", "image": "busybox"}},
    "scope": "local",
    "time": 1700000000,
    "timeNano": 1700000000123456789,
}
