#!/bin/sh
# Docker's name for it: the engine as an ordinary user's own. What Docker has RootlessKit for (a user namespace with newuidmap
# and newgidmap, mounts and a network of its own, published ports) the engine does itself.
if [ "$(id -u)" = 0 ]; then echo "refusing to run as root: this is for an ordinary user (su - learner)" >&2; exit 1; fi
exec /usr/lib/isolab/isolab-engine --rootless "$@"
