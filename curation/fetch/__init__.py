"""Media for a chosen part of a dataset, fetched from the hub repository that holds the source archives.

wanted   which files the chosen rows ask for          holdings  where in the repository each of them lies
zips     a zip by ranges of bytes, trusting nothing   tars      the same for tar and tar.gz, read from the front
parts    archives that were cut up, as one file       names     one spelling of a member's name
plan     what to transfer, and how                    unpack    one file put in place, whole or not at all
fetch    the job
"""
