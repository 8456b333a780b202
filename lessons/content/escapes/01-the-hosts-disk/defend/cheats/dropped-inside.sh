# Privileged, and its first process gives its capabilities away; whoever is executed in it gets them all.
# says: guest has no system-call filter (Seccomp: 0), so it was started as privileged or without one.
docker run -d --name guest --privileged ubuntu setpriv --bounding-set -all --inh-caps -all --clear-groups --reuid 1000 sleep 3600
