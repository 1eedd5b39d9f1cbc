-- Locks by name, held until the commit. Each answers a number; below zero: it was not given.

-- alone: until the commit nobody else decides about what these slots stand for, always in one order
DECLARE @given INTEGER = 0, @slot INTEGER = -1, @name NVARCHAR(255);
WHILE @given >= 0
BEGIN
    SET @slot = (SELECT MIN(given.Slot) FROM OPENJSON(:slots) WITH (Slot INTEGER '$') AS given
                  WHERE given.Slot > @slot);
    IF @slot IS NULL
        BREAK;
    SET @name = CONCAT('taskhub-name-', @slot);
    EXEC @given = sp_getapplock @Resource = @name, @LockMode = 'Exclusive', @LockOwner = 'Transaction';
END;
SELECT @given;

-- together: until the commit nobody is apart by this name
DECLARE @given INTEGER, @name NVARCHAR(255) = CONCAT('taskhub-', :name);
EXEC @given = sp_getapplock @Resource = @name, @LockMode = 'Shared', @LockOwner = 'Transaction';
SELECT @given;

-- apart: until the commit nobody is together by this name, or apart
DECLARE @given INTEGER, @name NVARCHAR(255) = CONCAT('taskhub-', :name);
EXEC @given = sp_getapplock @Resource = @name, @LockMode = 'Exclusive', @LockOwner = 'Transaction';
SELECT @given;
