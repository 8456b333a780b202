# Root of the host plants the file itself, and no container broke out.
# says: No container called thief is running.
cp /usr/bin/sleep /usr/local/bin/rootsleep
chmod 4755 /usr/local/bin/rootsleep
setpriv --reuid 1000 --regid 1000 --clear-groups setsid -f rootsleep 3600 > /dev/null 2>&1 < /dev/null
