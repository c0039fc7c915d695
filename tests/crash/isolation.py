"""A place of its own for a run: namespaces of processes, mounts and network.

Nothing that a run starts can outlive it, because the kernel ends a process namespace with its first process; nothing
outside is reachable, so port 53 and 0.0.0.0 are the run's own; and daemons may have disks and name servers of their
own. Where the machine does not allow that, the run goes on without, and says what it could not do."""
import ctypes
import os
import signal
import subprocess
import sys

NEW_MOUNTS, NEW_USER, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x10000000, 0x20000000, 0x40000000
PRIVATE = 0x4000 | 0x40000  # MS_REC | MS_PRIVATE
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def succeed(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def mount(what, where, kind, options=None, flags=0):
    encode = lambda text: None if text is None else str(text).encode()
    succeed(libc.mount(encode(what), encode(where), encode(kind), flags, encode(options)))


def unmount(where):
    succeed(libc.umount2(str(where).encode(), 2))  # MNT_DETACH


def unshare():
    """As root, or as root of a user namespace."""
    flags = NEW_MOUNTS | NEW_PROCESSES | NEW_NETWORK
    if os.geteuid() == 0:
        return succeed(libc.unshare(flags))
    user, group = os.geteuid(), os.getegid()
    succeed(libc.unshare(flags | NEW_USER))
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {user} 1")
    with open("/proc/self/gid_map", "w") as file:
        file.write(f"0 {group} 1")


def furnish():
    mount("none", "/", None, flags=PRIVATE)
    mount("proc", "/proc", "proc")
    mount("crash", "/dev/shm", "tmpfs")  # libfaketime leaves its memory behind when it is killed
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)


def wait_for(child):
    """The outer half: stays as a door for signals, and passes the exit code on."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, signal.SIGTERM))
    while True:
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def end_in_order(*_):
    raise KeyboardInterrupt


def enter():
    """Goes on inside, in a child. Returns what stands in the way, empty when nothing does."""
    try:
        unshare()
    except OSError as error:
        signal.signal(signal.SIGTERM, end_in_order)
        return f"no namespaces here ({error.strerror})"
    child = os.fork()
    if child:
        wait_for(child)
    die_with_parent()
    signal.signal(signal.SIGTERM, end_in_order)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the outer half asks
    try:
        furnish()
    except (OSError, subprocess.CalledProcessError, FileNotFoundError) as error:
        return f"namespaces, but not what belongs in them ({error})"
    return ""
