# A setuid file of the container's own: it makes somebody root there, and nowhere else.
# says: thief can see the host's disk, and has not mounted it.
docker run -d --name thief --privileged alpine sleep 3600
docker exec thief sh -c 'cp /bin/busybox /bin/rootsleep && chmod 4755 /bin/rootsleep'
