# The attack itself: the machine runs out of memory, and the kernel looks for a victim among all processes.
# says: The kernel killed a process because the machine was out of memory. No control group had reached a limit: start the container with --memory 64m.
docker run --rm ubuntu tail /dev/zero || true
