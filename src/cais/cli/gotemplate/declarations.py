"""The types of what the engine and Docker's client hand to templates, by their names in Go.

A struct is declared as `types._fields` reads it: `Name Other? type; Name=key type; type` stands for fields of a type
(with the key that JSON has for it, where that differs), left out of JSON when zero ("?"), or embedded (a type alone).
The order is that of Docker 28's client: values and JSON are shown in it.
"""

from __future__ import annotations

INSPECTED = {
    "container": "container.InspectResponse",
    "image": "image.InspectResponse",
    "network": "network.Inspect",
    "volume": "volume.Volume",
}
"""What `inspect` applies templates to, by the kind of object."""

EVENT, INFO, VERSION = "*events.Message", "system.dockerInfo", "system.versionInfo"

NAMED = {
    "container.CgroupSpec": "string",
    "container.CgroupnsMode": "string",
    "container.IpcMode": "string",
    "container.Isolation": "string",
    "container.NetworkMode": "string",
    "container.PidMode": "string",
    "container.RestartPolicyMode": "string",
    "container.UTSMode": "string",
    "container.UsernsMode": "string",
    "digest.Digest": "string",
    "events.Action": "string",
    "events.Type": "string",
    "fs.FileMode": "uint32",
    "image.ManifestKind": "string",
    "mount.Consistency": "string",
    "mount.Propagation": "string",
    "mount.Type": "string",
    "nat.Port": "string",
    "nat.PortMap": "map[nat.Port][]nat.PortBinding",
    "nat.PortSet": "map[nat.Port]struct {}",
    "registry.NetIPNet": "string",  # a struct in Go, which prints and encodes itself as a text
    "strslice.StrSlice": "[]string",
    "swarm.ClusterInfo": "struct {}",
    "swarm.LocalNodeState": "string",
    "time.Duration": "int64",
    "volume.ClusterVolume": "struct {}",
}

STRUCTS = {
    "container.InspectResponse": (
        "*container.ContainerJSONBase; Mounts []container.MountPoint; Config *container.Config; "
        "NetworkSettings *container.NetworkSettings; ImageManifestDescriptor? *v1.Descriptor"
    ),
    "container.ContainerJSONBase": (
        "ID=Id Created Path string; Args []string; State *container.State; Image ResolvConfPath HostnamePath "
        "HostsPath LogPath Name string; RestartCount int; Driver Platform MountLabel ProcessLabel "
        "AppArmorProfile string; ExecIDs []string; HostConfig *container.HostConfig; GraphDriver "
        "storage.DriverData; SizeRw? SizeRootFs? *int64"
    ),
    "container.State": (
        "Status string; Running Paused Restarting OOMKilled Dead bool; Pid ExitCode int; Error StartedAt "
        "FinishedAt string; Health? *container.Health"
    ),
    "container.Health": "Status string; FailingStreak int; Log []*container.HealthcheckResult",
    "container.HealthcheckResult": "Start End time.Time; ExitCode int; Output string",
    "container.HostConfig": (
        "Binds []string; ContainerIDFile string; LogConfig container.LogConfig; NetworkMode "
        "container.NetworkMode; PortBindings nat.PortMap; RestartPolicy container.RestartPolicy; AutoRemove "
        "bool; VolumeDriver string; VolumesFrom []string; ConsoleSize [2]uint; Annotations? "
        "map[string]string; CapAdd CapDrop strslice.StrSlice; CgroupnsMode container.CgroupnsMode; DNS=Dns "
        "DNSOptions=DnsOptions DNSSearch=DnsSearch ExtraHosts GroupAdd []string; IpcMode container.IpcMode; "
        "Cgroup container.CgroupSpec; Links []string; OomScoreAdj int; PidMode container.PidMode; Privileged "
        "PublishAllPorts ReadonlyRootfs bool; SecurityOpt []string; StorageOpt? Tmpfs? map[string]string; "
        "UTSMode container.UTSMode; UsernsMode container.UsernsMode; ShmSize int64; Sysctls? "
        "map[string]string; Runtime? string; Isolation container.Isolation; container.Resources; Mounts? "
        "[]mount.Mount; MaskedPaths ReadonlyPaths []string; Init? *bool"
    ),
    "container.LogConfig": "Type string; Config map[string]string",
    "container.RestartPolicy": "Name container.RestartPolicyMode; MaximumRetryCount int",
    "container.Resources": (
        "CPUShares=CpuShares Memory NanoCPUs=NanoCpus int64; CgroupParent string; BlkioWeight uint16; "
        "BlkioWeightDevice []*blkiodev.WeightDevice; BlkioDeviceReadBps BlkioDeviceWriteBps "
        "BlkioDeviceReadIOps BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice; CPUPeriod=CpuPeriod "
        "CPUQuota=CpuQuota CPURealtimePeriod=CpuRealtimePeriod CPURealtimeRuntime=CpuRealtimeRuntime int64; "
        "CpusetCpus CpusetMems string; Devices []container.DeviceMapping; DeviceCgroupRules []string; "
        "DeviceRequests []container.DeviceRequest; KernelMemory? KernelMemoryTCP? MemoryReservation "
        "MemorySwap int64; MemorySwappiness *int64; OomKillDisable *bool; PidsLimit *int64; Ulimits "
        "[]*units.Ulimit; CPUCount=CpuCount CPUPercent=CpuPercent int64; IOMaximumIOps IOMaximumBandwidth "
        "uint64"
    ),
    "blkiodev.WeightDevice": "Path string; Weight uint16",
    "blkiodev.ThrottleDevice": "Path string; Rate uint64",
    "container.DeviceMapping": "PathOnHost PathInContainer CgroupPermissions string",
    "container.DeviceRequest": (
        "Driver string; Count int; DeviceIDs []string; Capabilities [][]string; Options map[string]string"
    ),
    "units.Ulimit": "Name string; Hard Soft int64",
    "mount.Mount": (
        "Type? mount.Type; Source? Target? string; ReadOnly? bool; Consistency? mount.Consistency; "
        "BindOptions? *mount.BindOptions; VolumeOptions? *mount.VolumeOptions; ImageOptions? "
        "*mount.ImageOptions; TmpfsOptions? *mount.TmpfsOptions; ClusterOptions? *mount.ClusterOptions"
    ),
    "mount.BindOptions": (
        "Propagation? mount.Propagation; NonRecursive? CreateMountpoint? ReadOnlyNonRecursive? "
        "ReadOnlyForceRecursive? bool"
    ),
    "mount.VolumeOptions": ("NoCopy? bool; Labels? map[string]string; Subpath? string; DriverConfig? *mount.Driver"),
    "mount.Driver": "Name? string; Options? map[string]string",
    "mount.ImageOptions": "Subpath? string",
    "mount.TmpfsOptions": "SizeBytes? int64; Mode? fs.FileMode; Options? [][]string",
    "mount.ClusterOptions": "",
    "storage.DriverData": "Data map[string]string; Name string",
    "container.MountPoint": (
        "Type? mount.Type; Name? Source Destination Driver? Mode string; RW bool; Propagation mount.Propagation"
    ),
    "container.Config": (
        "Hostname Domainname User string; AttachStdin AttachStdout AttachStderr bool; ExposedPorts? "
        "nat.PortSet; Tty OpenStdin StdinOnce bool; Env []string; Cmd strslice.StrSlice; Healthcheck? "
        "*v1.HealthcheckConfig; ArgsEscaped? bool; Image string; Volumes map[string]struct {}; WorkingDir "
        "string; Entrypoint strslice.StrSlice; NetworkDisabled? bool; MacAddress? string; OnBuild []string; "
        "Labels map[string]string; StopSignal? string; StopTimeout? *int; Shell? strslice.StrSlice"
    ),
    "v1.HealthcheckConfig": (
        "Test? []string; Interval? Timeout? StartPeriod? StartInterval? time.Duration; Retries? int"
    ),
    "container.NetworkSettings": (
        "container.NetworkSettingsBase; container.DefaultNetworkSettings; Networks map[string]*network.EndpointSettings"
    ),
    "container.NetworkSettingsBase": (
        "Bridge SandboxID SandboxKey string; Ports nat.PortMap; HairpinMode bool; LinkLocalIPv6Address "
        "string; LinkLocalIPv6PrefixLen int; SecondaryIPAddresses SecondaryIPv6Addresses []network.Address"
    ),
    "network.Address": "Addr string; PrefixLen int",
    "container.DefaultNetworkSettings": (
        "EndpointID Gateway GlobalIPv6Address string; GlobalIPv6PrefixLen int; IPAddress string; IPPrefixLen "
        "int; IPv6Gateway MacAddress string"
    ),
    "network.EndpointSettings": (
        "IPAMConfig *network.EndpointIPAMConfig; Links Aliases []string; MacAddress string; DriverOpts "
        "map[string]string; GwPriority int; NetworkID EndpointID Gateway IPAddress string; IPPrefixLen int; "
        "IPv6Gateway GlobalIPv6Address string; GlobalIPv6PrefixLen int; DNSNames []string"
    ),
    "network.EndpointIPAMConfig": "IPv4Address? IPv6Address? string; LinkLocalIPs? []string",
    "v1.Descriptor": (
        "MediaType=mediaType string; Digest=digest digest.Digest; Size=size int64; URLs=urls? []string; "
        "Annotations=annotations? map[string]string; Data=data? string; Platform=platform? *v1.Platform; "
        "ArtifactType=artifactType? string"
    ),
    "v1.Platform": (
        "Architecture=architecture OS=os OSVersion=os.version? string; OSFeatures=os.features? []string; "
        "Variant=variant? string"
    ),
    "image.InspectResponse": (
        "ID=Id string; RepoTags RepoDigests []string; Parent Comment Created? Container? string; "
        "ContainerConfig? *container.Config; DockerVersion Author string; Config *v1.DockerOCIImageConfig; "
        "Architecture Variant? Os OsVersion? string; Size VirtualSize? int64; GraphDriver storage.DriverData; "
        "RootFS image.RootFS; Metadata image.Metadata; Descriptor? *v1.Descriptor; Manifests? "
        "[]image.ManifestSummary"
    ),
    "v1.DockerOCIImageConfig": "v1.ImageConfig; v1.DockerOCIImageConfigExt",
    "v1.ImageConfig": (
        "User? string; ExposedPorts? map[string]struct {}; Env? Entrypoint? Cmd? []string; Volumes? "
        "map[string]struct {}; WorkingDir? string; Labels? map[string]string; StopSignal? string; "
        "ArgsEscaped? bool"
    ),
    "v1.DockerOCIImageConfigExt": "Healthcheck? *v1.HealthcheckConfig; OnBuild? Shell? []string",
    "image.RootFS": "Type? string; Layers? []string",
    "image.Metadata": "LastTagTime time.Time",
    "image.ManifestSummary": (
        "ID string; Descriptor v1.Descriptor; Available bool; Size image.ManifestSize; Kind "
        "image.ManifestKind; ImageData? *image.ImageProperties; AttestationData? *image.AttestationProperties"
    ),
    "image.ImageProperties": "Platform v1.Platform; Size image.UnpackedSize; Containers []string",
    "image.AttestationProperties": "For digest.Digest",
    "network.Inspect": (
        "Name ID=Id string; Created time.Time; Scope Driver string; EnableIPv4 EnableIPv6 bool; IPAM "
        "network.IPAM; Internal Attachable Ingress bool; ConfigFrom network.ConfigReference; ConfigOnly bool; "
        "Containers map[string]network.EndpointResource; Options Labels map[string]string; Peers? "
        "[]network.PeerInfo; Services? map[string]network.ServiceInfo"
    ),
    "network.IPAM": "Driver string; Options map[string]string; Config []network.IPAMConfig",
    "network.IPAMConfig": ("Subnet? IPRange? Gateway? string; AuxAddress=AuxiliaryAddresses? map[string]string"),
    "network.ConfigReference": "Network string",
    "network.EndpointResource": "Name EndpointID MacAddress IPv4Address IPv6Address string",
    "network.PeerInfo": "Name IP string",
    "network.ServiceInfo": "VIP string; Ports []string; LocalLBIndex int; Tasks []network.Task",
    "network.Task": "Name EndpointID EndpointIP string; Info map[string]string",
    "volume.Volume": (
        "ClusterVolume? *volume.ClusterVolume; CreatedAt? Driver string; Labels map[string]string; Mountpoint "
        "Name string; Options map[string]string; Scope string; Status? map[string]interface {}; UsageData? "
        "*volume.UsageData"
    ),
    "volume.UsageData": "RefCount Size int64",
    "system.versionInfo": "Client system.clientVersion; Server *types.Version",
    "system.platformInfo": "Name? string",
    "system.clientVersion": (
        "Platform? *system.platformInfo; Version APIVersion=ApiVersion? DefaultAPIVersion GitCommit GoVersion "
        "Os Arch BuildTime Context string"
    ),
    "types.Version": (
        "Platform types.Platform; Components []types.ComponentVersion; Version APIVersion=ApiVersion "
        "MinAPIVersion GitCommit GoVersion Os Arch KernelVersion string; Experimental bool; BuildTime string"
    ),
    "types.ComponentVersion": "Name Version string; Details? map[string]string",
    "system.dockerInfo": (
        "*system.Info; ServerErrors? []string; UserName=- string; ClientInfo? *system.clientInfo; "
        "ClientErrors? []string"
    ),
    "system.Info": (
        "ID string; Containers ContainersRunning ContainersPaused ContainersStopped Images int; Driver "
        "string; DriverStatus SystemStatus? [][2]string; Plugins system.PluginsInfo; MemoryLimit SwapLimit "
        "KernelMemory? KernelMemoryTCP? CPUCfsPeriod=CpuCfsPeriod CPUCfsQuota=CpuCfsQuota CPUShares CPUSet "
        "PidsLimit IPv4Forwarding Debug bool; NFd int; OomKillDisable bool; NGoroutines int; SystemTime "
        "LoggingDriver CgroupDriver CgroupVersion? string; NEventsListener int; KernelVersion OperatingSystem "
        "OSVersion OSType Architecture IndexServerAddress string; RegistryConfig *registry.ServiceConfig; "
        "NCPU int; MemTotal int64; GenericResources []swarm.GenericResource; DockerRootDir "
        "HTTPProxy=HttpProxy HTTPSProxy=HttpsProxy NoProxy Name string; Labels []string; ExperimentalBuild "
        "bool; ServerVersion string; Runtimes map[string]system.RuntimeWithStatus; DefaultRuntime string; "
        "Swarm swarm.Info; LiveRestoreEnabled bool; Isolation container.Isolation; InitBinary string; "
        "ContainerdCommit RuncCommit InitCommit system.Commit; SecurityOptions []string; ProductLicense? "
        "string; DefaultAddressPools? []system.NetworkAddressPool; FirewallBackend? *system.FirewallInfo; "
        "CDISpecDirs []string; DiscoveredDevices? []system.DeviceInfo; Containerd? *system.ContainerdInfo; "
        "Warnings []string"
    ),
    "system.PluginsInfo": "Volume Network Authorization Log []string",
    "registry.ServiceConfig": (
        "AllowNondistributableArtifactsCIDRs? []*registry.NetIPNet; AllowNondistributableArtifactsHostnames? "
        "[]string; InsecureRegistryCIDRs []*registry.NetIPNet; IndexConfigs map[string]*registry.IndexInfo; "
        "Mirrors []string; ExtraFields? map[string]interface {}"
    ),
    "registry.IndexInfo": "Name string; Mirrors []string; Secure Official bool",
    "swarm.GenericResource": (
        "NamedResourceSpec? *swarm.NamedGenericResource; DiscreteResourceSpec? *swarm.DiscreteGenericResource"
    ),
    "swarm.NamedGenericResource": "Kind? Value? string",
    "swarm.DiscreteGenericResource": "Kind? string; Value? int64",
    "system.RuntimeWithStatus": "system.Runtime; Status=status? map[string]string",
    "system.Runtime": (
        "Path=path? string; Args=runtimeArgs? []string; Type=runtimeType? string; Options=options? "
        "map[string]interface {}"
    ),
    "swarm.Info": (
        "NodeID NodeAddr string; LocalNodeState swarm.LocalNodeState; ControlAvailable bool; Error string; "
        "RemoteManagers []swarm.Peer; Nodes? Managers? int; Cluster? *swarm.ClusterInfo; Warnings? []string"
    ),
    "swarm.Peer": "NodeID Addr string",
    "system.Commit": "ID Expected? string",
    "system.NetworkAddressPool": "Base string; Size int",
    "system.FirewallInfo": "Driver string; Info? [][2]string",
    "system.DeviceInfo": "Source ID string",
    "system.ContainerdInfo": "Address? string; Namespaces system.ContainerdNamespaces",
    "system.ContainerdNamespaces": "Containers Plugins string",
    "system.clientInfo": "Debug bool; system.clientVersion; Plugins []interface {}; Warnings []string",
    "image.ManifestSize": "Content Total int64",
    "image.UnpackedSize": "Unpacked int64",
    "types.Platform": "Name string",
    "nat.PortBinding": "HostIP=HostIp HostPort string",
    "events.Message": (
        "Status=status? ID=id? From=from? string; Type events.Type; Action events.Action; Actor events.Actor; "
        "Scope=scope? string; Time=time? TimeNano=timeNano? int64"
    ),
    "events.Actor": "ID string; Attributes map[string]string",
    "time.Time": "",
    "struct {}": "",
}
