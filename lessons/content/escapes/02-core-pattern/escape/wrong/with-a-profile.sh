# says: burglar is confined by docker-default (enforce), which denies mounting whatever the capabilities.
docker run -d --name burglar --cap-add SYS_ADMIN alpine sleep 3600
docker exec burglar mount -o remount,rw /proc/sys || true
