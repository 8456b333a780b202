FROM scratch
CMD -- x
ENTRYPOINT -x
