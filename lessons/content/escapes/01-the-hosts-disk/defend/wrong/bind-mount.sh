# Not privileged, and given the whole disk all the same.
# says: guest has the host's disk at /host: it was given to it with -v or --mount.
docker run -d --name guest -v /:/host alpine sleep 3600
