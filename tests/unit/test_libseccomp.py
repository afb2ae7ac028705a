"""The layout of what libseccomp and seccomp(2) are given, and errors of the library."""

import ctypes  # noqa: TID251 - for sizeof
import errno

import pytest

from cais.linux import libseccomp, seccomp


def test_the_structures_are_as_the_headers_have_them() -> None:
    """seccomp.h, struct scmp_arg_cmp; <linux/filter.h>, struct sock_fprog."""
    assert ctypes.sizeof(libseccomp.ScmpArgCmp) == 24
    assert libseccomp.ScmpArgCmp.datum_a.offset == 8
    assert ctypes.sizeof(libseccomp.ScmpVersion) == 12
    assert ctypes.sizeof(seccomp.SockFprog) == 16
    assert seccomp.SockFprog.filter.offset == 8


def test_names_are_resolved() -> None:
    assert libseccomp.resolve("read", libseccomp.SCMP_ARCH_X86_64) == 0
    assert libseccomp.resolve("read", libseccomp.SCMP_ARCH_AARCH64) == 63
    assert libseccomp.resolve("chown32", libseccomp.SCMP_ARCH_X86_64) < libseccomp.NR_SCMP_ERROR
    assert libseccomp.resolve("no such\udc80call\0", libseccomp.SCMP_ARCH_X86_64) == libseccomp.NR_SCMP_ERROR


def test_what_the_library_refuses_is_an_os_error() -> None:
    with pytest.raises(OSError, match="invalid default action"):
        libseccomp.Filter(0x12345)
    with libseccomp.Filter(libseccomp.SCMP_ACT_ALLOW) as one:
        with pytest.raises(OSError, match="seccomp_arch_add") as caught:
            one.add_architecture(0x12345)
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="seccomp_rule_add") as caught:
            one.add_rule(libseccomp.SCMP_ACT_ALLOW, 1)
        assert caught.value.errno == errno.EACCES
        one.add_architecture(libseccomp.native_architecture())
        only_32_bit = libseccomp.resolve("chown32", libseccomp.native_architecture())
        one.add_rule(libseccomp.scmp_act_errno(1), only_32_bit)
        with pytest.raises(OSError, match="seccomp_rule_add"):
            one.add_rule(libseccomp.scmp_act_errno(1), only_32_bit, exact=True)
        assert len(one.export()) % 8 == 0
