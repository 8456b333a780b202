# says: sleep runs on the host itself, as PID <pid>, in no container.
setsid -f sleep 600 > /dev/null 2>&1 < /dev/null
