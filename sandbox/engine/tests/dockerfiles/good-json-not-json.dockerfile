FROM scratch
CMD [ "a", 'b' ]
ENTRYPOINT ["a" "b"]
