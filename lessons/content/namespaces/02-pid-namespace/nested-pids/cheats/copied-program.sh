# A copy of another program under the name of sleep, which no image has at that place.
# says: A process with three numbers calls itself sleep, but executes /tmp/sleep, which is not the sleep of this host.
cp /usr/bin/tail /tmp/sleep
PATH=/tmp:$PATH setsid -f unshare --pid --fork unshare --pid --fork sleep -f /dev/null > /dev/null 2>&1 < /dev/null
