# A container by the name of the profile, and a process that calls itself so.
# says: vault is confined by docker-default (enforce). That profile lets root of a container write to any file of its own.
docker run -d --name keep-data -v /srv/data:/data ubuntu sleep 3600
docker run -d --name vault -v /srv/data:/data ubuntu bash -c 'exec -a "keep-data (enforce)" sleep 3600'
