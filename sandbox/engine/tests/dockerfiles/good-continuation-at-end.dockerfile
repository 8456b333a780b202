FROM scratch
CMD echo a \
