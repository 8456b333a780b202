# Without a command, the image's own is run: a shell, which ends at once because nobody types into it.
# says: No container called pid-test is running. A container lasts as long as its PID 1.
docker run -d --name pid-test ubuntu
