# Something is mounted at the right place.
# says: thief has nothing of the host's disk; what it has mounted at /disk is a tmpfs.
docker run -d --name thief --privileged alpine sleep 3600
docker exec thief sh -c 'mkdir /disk && mount -t tmpfs /dev/vda /disk'
