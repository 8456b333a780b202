# says: guard is confined by nothing (unconfined), so that the capability is enough to mount. Leave Docker's profile on.
docker run -d --name guard --cap-add SYS_ADMIN --security-opt apparmor=unconfined alpine sleep 3600
docker exec guard mount -o remount,rw /proc/sys
