# The container shows the right name, because the host was renamed under it.
# says: two-names has the host's own UTS namespace, so both are called lighthouse; start it without --uts=host.
hostname lighthouse
docker run -d --name two-names --uts=host ubuntu sleep 600
