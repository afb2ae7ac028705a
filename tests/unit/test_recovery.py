from cais.engine.recovery import mount_points


def test_mount_points_are_read_with_their_odd_characters() -> None:
    text = (
        "22 1 0:21 / /proc rw - proc proc rw\n"
        "23 1 0:22 / /run/a\\040b\\134c rw,nosuid shared:7 - tmpfs none rw\n"
    )  # fmt: skip
    assert mount_points(text) == ["/proc", "/run/a b\\c"]
    assert mount_points("") == []
