# says: guest is privileged: it holds CAP_SYS_ADMIN and is confined by unconfined.
docker run -d --name guest --privileged alpine sleep 3600
