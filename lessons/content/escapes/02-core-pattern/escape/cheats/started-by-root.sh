# Root of the host starts it. It has all the rights, and it is nobody's escape.
# says: sleep runs on the host as PID <pid>, but process <pid> started it, and not the kernel.
docker run -d --name burglar --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine sleep 3600
docker exec burglar mount -o remount,rw /proc/sys
setsid -f /usr/bin/sleep 3600 > /dev/null 2>&1 < /dev/null
