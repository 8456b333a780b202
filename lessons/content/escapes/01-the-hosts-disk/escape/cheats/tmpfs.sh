# Something is mounted at the right place.
# says: thief has nothing of the host's disk; what it has mounted at /mnt is a tmpfs.
docker run -d --name thief --privileged alpine sleep 3600
docker exec thief mount -t tmpfs /dev/vda /mnt
