# The file that shows the label is covered by another one; the kernel was not asked.
# says: vault is confined by docker-default (enforce). That profile lets root of a container write to any file of its own.
docker run -d --name vault -v /srv/data:/data ubuntu sleep 3600
echo 'keep-data (enforce)' > /root/label
mount --bind /root/label "/proc/$(docker inspect -f '{{.State.Pid}}' vault)/attr/current"
