-- From 17 on an index's functions are called without a search_path.
create index on zoo.checked (zoo.fits(kind, n));
