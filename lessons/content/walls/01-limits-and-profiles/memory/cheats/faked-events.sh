# Another file over the kernel's own.
# says: A container may take 67108864 bytes and has not tried to take more. Let it run tail /dev/zero.
docker run -d --memory 64m ubuntu sleep 3600
printf 'low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n' > /root/events
mount --bind /root/events /sys/fs/cgroup/docker/memory.events
