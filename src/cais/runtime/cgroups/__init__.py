"""cgroups of version 1, version 2 and both, behind one interface."""

from cais.runtime.cgroups.detect import open_hierarchy as open_hierarchy
from cais.runtime.cgroups.devices import DEFAULT_RULES as DEFAULT_RULES
from cais.runtime.cgroups.interface import Cgroup as Cgroup
from cais.runtime.cgroups.interface import CgroupError as CgroupError
from cais.runtime.cgroups.interface import Features as Features
from cais.runtime.cgroups.interface import Hierarchy as Hierarchy
from cais.runtime.cgroups.interface import Limits as Limits
from cais.runtime.cgroups.interface import Mounts as Mounts
from cais.runtime.cgroups.interface import Stats as Stats
from cais.runtime.cgroups.interface import Write as Write
from cais.runtime.cgroups.resources import DeviceRule as DeviceRule
from cais.runtime.cgroups.resources import Resources as Resources
from cais.runtime.cgroups.resources import Throttle as Throttle
from cais.runtime.cgroups.sweep import sweep as sweep
