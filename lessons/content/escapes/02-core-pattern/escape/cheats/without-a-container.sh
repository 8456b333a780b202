# The host's root writes the pattern and crashes: the kernel does as told, and no container broke out.
# says: No container called burglar is running.
echo '|/usr/bin/sleep 3600' > /proc/sys/kernel/core_pattern
setsid -f sh -c 'kill -SEGV $$' > /dev/null 2>&1 < /dev/null
