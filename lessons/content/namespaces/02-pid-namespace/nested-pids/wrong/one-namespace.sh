# says: sleep has two numbers (NSpid: <pid> 1). That is one namespace; make another inside it.
setsid -f unshare --pid --fork sleep 3600 > /dev/null 2>&1 < /dev/null
