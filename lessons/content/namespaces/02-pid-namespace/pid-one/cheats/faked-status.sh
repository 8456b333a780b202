# The host's own /proc is made to tell of two numbers; the kernel was not asked.
# says: In pid-test, sleep has the number …, not 1 (NSpid: …).
docker run -d --name pid-test --pid=host ubuntu sleep 3600
pid=$(docker inspect -f '{{.State.Pid}}' pid-test)
printf 'NSpid:\t%s\t1\n' "$pid" > /root/status
mount --bind /root/status "/proc/$pid/status"
