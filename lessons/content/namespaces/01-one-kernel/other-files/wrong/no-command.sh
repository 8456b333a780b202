# Its shell has no input and ends at once: whoever looks in that moment sees it run.
# says: No container called other-files is running.
docker run -d --name other-files alpine
