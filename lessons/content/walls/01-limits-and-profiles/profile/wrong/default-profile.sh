# says: vault is confined by docker-default (enforce). That profile lets root of a container write to any file of its own.
docker run -d --name vault -v /srv/data:/data ubuntu sleep 3600
