"""What the values of flags may be, as far as a shell can offer them."""

from __future__ import annotations

_SIGNALS = (
    "ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU "
    "URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
)
_CAPABILITIES = (
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE "
    "DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD "
    "NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN "
    "SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG "
    "WAKE_ALARM"
)

WORDS = {
    "attach": "stderr stdin stdout",
    "cap-add": _CAPABILITIES,
    "cap-drop": _CAPABILITIES,
    "cgroupns": "host private",
    "driver": "bridge ipvlan macvlan",
    "format": "json table",
    "ipc": "container: host none private shareable",
    "log-driver": "json-file local none",
    "log-opt": "compress= env= labels= max-file= max-size= tag=",
    "pid": "container: host",
    "platform": "linux/amd64 linux/arm64",
    "pull": "always missing never",
    "opt": "com.docker.network.bridge.enable_icc= com.docker.network.bridge.enable_ip_masquerade= "
    "com.docker.network.bridge.gateway_mode_ipv4= com.docker.network.bridge.gateway_mode_ipv6= "
    "com.docker.network.bridge.host_binding_ipv4= com.docker.network.bridge.name= "
    "com.docker.network.container_iface_prefix= com.docker.network.driver.mtu= ipvlan_mode= macvlan_mode= parent=",
    "restart": "no always on-failure unless-stopped",
    "security-opt": "apparmor= label= no-new-privileges seccomp= systempaths=unconfined",
    "signal": _SIGNALS,
    "stop-signal": _SIGNALS,
    "type": "container image network volume",
    "ulimit": "as= core= cpu= data= fsize= locks= memlock= nofile= nproc= rss= rtprio= sigpending= stack=",
    "userns": "host",
    "uts": "host",
}
"""By flag."""

KINDS = {
    "config-from": ("network", ""),
    "context": ("context", ""),
    "from": ("context", ""),
    "ipc": ("running", "container:"),
    "link": ("container", ""),
    "network": ("network", ""),
    "pid": ("running", "container:"),
    "volume": ("volume", ""),
    "volumes-from": ("container", ""),
}
"""By flag: what the value is the name of, and what stands before the name."""

PATHS = frozenset(
    [
        *("cidfile", "config", "device", "env-file", "env-from-file", "file", "input", "label-file", "output"),
        *("project-directory", "volume"),
    ]
)
"""Flags whose value may be the path of a file."""

FILTERS = {
    "container ls": "ancestor= before= exited= expose= health= id= is-task= label= name= network= publish= since= "
    "status= volume=",
    "container prune": "label= label!= until=",
    "image prune": "label= label!= until=",
    "search": "is-automated= is-official= stars=",
    "network ls": "dangling= driver= id= label= name= scope= type=",
    "network prune": "label= label!= until=",
    "image ls": "before= dangling= label= reference= since= until=",
    "system events": "container= daemon= event= image= label= network= scope= type= volume=",
    "system prune": "label= label!= until=",
}
"""By command."""
