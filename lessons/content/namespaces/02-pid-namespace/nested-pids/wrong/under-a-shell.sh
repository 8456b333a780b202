# says: A sleep has three numbers, but is not the first process of its namespace (NSpid: <pid> <pid> <pid>).
setsid -f unshare --pid --fork unshare --pid --fork sh -c 'sleep 3600; echo done' > /dev/null 2>&1 < /dev/null
