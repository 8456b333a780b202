# says: A process with three numbers calls itself sleep, but executes …/tail, which is not the sleep of this host.
setsid -f unshare --pid --fork unshare --pid --fork bash -c 'exec -a "sleep 3600" tail -f /dev/null' > /dev/null 2>&1 < /dev/null
