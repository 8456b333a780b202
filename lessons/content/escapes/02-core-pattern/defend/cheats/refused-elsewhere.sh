# The refusal is another container's.
# says: guard is confined by docker-default, and nobody has attacked it. Try the remount in it.
docker run -d --name other --cap-add SYS_ADMIN alpine sleep 3600
docker exec other mount -o remount,rw /proc/sys || true
docker run -d --name guard --cap-add SYS_ADMIN alpine sleep 3600
