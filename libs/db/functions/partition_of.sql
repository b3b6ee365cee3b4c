-- The partition of a key: the jump consistent hash (Lamping, Veach 2014) of the first 8 bytes of its SHA-256, as libs/core/partition.ts
-- computes it. The state, 64 bits, is kept in two halves, whose products fit a bigint: the multiplier 2862933555777941757 is
-- 666578663 * 2^32 - 2018463491, with its lower half taken as signed. It is called for each task that is stored, and is
-- half as long as it reads best: each statement takes as long as a dozen operations.
CREATE OR REPLACE FUNCTION partition_of(key text, partitions integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  hash   bytea  := sha256(convert_to(key, 'UTF8'));
  high   bigint := (get_byte(hash, 0)::bigint << 24) + (get_byte(hash, 1) << 16) + (get_byte(hash, 2) << 8) + get_byte(hash, 3);
  low    bigint := (get_byte(hash, 4)::bigint << 24) + (get_byte(hash, 5) << 16) + (get_byte(hash, 6) << 8) + get_byte(hash, 7);
  bucket bigint := 0;
  next   bigint;
BEGIN
  LOOP
    high := (high * -2018463491 + low * 666578663 + ((low * -2018463491 + 1) >> 32)) & 4294967295;
    next := trunc((bucket + 1) * (2147483648::double precision / ((high >> 1) + 1)))::bigint;
    EXIT WHEN next >= partitions;
    bucket := next;
    low := (low * -2018463491 + 1) & 4294967295;
  END LOOP;
  RETURN bucket;
END $$;
