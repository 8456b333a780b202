FROM scratch
FOO
CMD [1]
