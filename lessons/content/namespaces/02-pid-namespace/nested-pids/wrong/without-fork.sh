# Without --fork, unshare becomes sleep, and stays where it was.
# says: sleep runs on the host with one number, <pid>. unshare moves only the children of what it starts, so let it fork.
setsid -f unshare --pid sleep 3600 > /dev/null 2>&1 < /dev/null
