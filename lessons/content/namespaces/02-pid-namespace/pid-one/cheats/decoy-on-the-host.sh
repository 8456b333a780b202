# A process of the host with the container's name.
# says: sleep runs on the host itself, as PID <pid>, in no container.
setsid -f bash -c 'exec -a pid-test sleep 3600' > /dev/null 2>&1 < /dev/null
