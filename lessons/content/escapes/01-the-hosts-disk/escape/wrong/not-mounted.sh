# says: thief can see the host's disk, and has not mounted it.
docker run -d --name thief --privileged alpine sleep 3600
